"""A real Kubernetes 1.20 of one node, for drills."""
