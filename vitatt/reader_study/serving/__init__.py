"""The server of a reader study: readers' pages, the operator's view, and the log behind them."""
