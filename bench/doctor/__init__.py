"""What `bench doctor` examines: the host, the software, and each backend. It changes nothing."""
