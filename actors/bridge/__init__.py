"""The process that joins this node with the other nodes of a cluster: one more ingest to fan-outs, and more fan-outs to
ingests."""
