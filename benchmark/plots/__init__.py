"""Pictures of results, drawn without a display."""
