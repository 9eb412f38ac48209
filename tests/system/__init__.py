"""The running system under bad input and bad luck, judged from outside."""
