class MlflowException(Exception):
    @property
    def error_code(self):
        return str(self)
