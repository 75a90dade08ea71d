"""Edge: `/<model>/<id>/history/…` over HTTP, on the handler class that serves the model."""
