"""The protocol of any OSCAR service: a file in, and one or more files, or a text, out."""
