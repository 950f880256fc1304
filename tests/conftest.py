"""For the whole suite."""

import signal

# Whoever starts the suite in the background starts it with SIGINT ignored, and every child inherits that: no command
# under test could then be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
