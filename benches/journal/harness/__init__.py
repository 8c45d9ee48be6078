"""What `make bench` measures with: the processes, the table, and where both are put."""
