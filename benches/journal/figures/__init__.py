"""What `make bench` measures: a module for each subject, whose functions put rows into the table."""
