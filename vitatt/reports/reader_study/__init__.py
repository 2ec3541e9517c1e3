"""The report of a reader study: one page, and its methods in Markdown."""
