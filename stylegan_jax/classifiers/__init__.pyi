from . import own as own
from .attribute_classifiers import attribute_classifiers as attribute_classifiers
from .attribute_classifiers import classifiers_for as classifiers_for
