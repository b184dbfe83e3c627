"""Prompts as a UNet reads them."""

from sfumato.engine.encoding.encode import encode as encode
from sfumato.engine.encoding.encoded import Encoding as Encoding
from sfumato.engine.encoding.lengths import lengthened as lengthened
from sfumato.engine.encoding.lengths import match_lengths as match_lengths
