"""`python -m tests.sanitize`: the routines in C under AddressSanitizer and UndefinedBehaviorSanitizer."""
