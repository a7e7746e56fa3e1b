"""Codecs and protocol rules without I/O: nothing here imports trio or zmq, opens a socket or reads a clock."""
