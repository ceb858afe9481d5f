"""The report: one HTML page, or pictures, of what result files say.

The room is not called `report`, because `bench.report` is the function.
"""
