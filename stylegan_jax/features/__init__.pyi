from .exported_function import save as save
