"""What the playbook does, over model and clients."""
