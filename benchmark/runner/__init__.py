"""From a configuration to finished records."""
