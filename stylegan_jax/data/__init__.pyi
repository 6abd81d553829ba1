from .portraits.source import Portraits as Portraits
from .sources import open_source as open_source
