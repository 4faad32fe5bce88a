"""Evaluation: scores per language with intervals, comparisons, reports and plots."""
