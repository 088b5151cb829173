"""The writer's workbench: a live preview of one issue, and the gallery."""
