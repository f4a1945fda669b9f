"""One plain function per command: what ``auxface VERB`` does, callable from Python."""
