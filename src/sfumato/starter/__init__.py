"""Small models that ship with the package: real files in SD1's layout that paint anywhere."""
