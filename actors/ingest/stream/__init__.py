"""One media stream of Telnyx: its protocol, its audio, its limits, and its state for a successor."""
