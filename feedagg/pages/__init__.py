"""One small handler a page; each says in a frozen dataclass what its template is given as `view`."""
