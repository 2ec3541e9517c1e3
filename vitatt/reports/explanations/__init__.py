"""The report of explanations: overview, checks of the methods, gallery of cases."""
