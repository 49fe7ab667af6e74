def compile_filter(c):
    return "1", []
