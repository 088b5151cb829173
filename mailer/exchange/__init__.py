"""Lists of readers as files: recognising other programs' exports, reading and writing them. Knows no database."""
