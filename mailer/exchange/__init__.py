"""Lists of subscribers as files: recognize other programs' exports, read and write them. No database."""
