"""What the regression check looks at before anything is trained: inputs, features, algorithms.

Each module yields values by name: a hash, which is to be equal, or a number, which is to agree to rounding.
"""
