"""What `bench doctor` looks at: the host, the software, and each backend; it never changes anything."""
