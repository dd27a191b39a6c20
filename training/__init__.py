"""Training: data, architectures, losses and stages that make a checkpoint."""
