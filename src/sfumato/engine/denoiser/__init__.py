"""What samplers ask: a network, its conditions and guidance, as one function."""

from sfumato.engine.denoiser.forms import Prediction as Prediction
from sfumato.engine.denoiser.forms import denoiser as denoiser
from sfumato.engine.denoiser.forms import predictor as predictor
from sfumato.engine.denoiser.guided import Composed as Composed
from sfumato.engine.denoiser.guided import Guided as Guided
from sfumato.engine.denoiser.guided import Timed as Timed
from sfumato.engine.denoiser.masks import blended as blended
from sfumato.engine.denoiser.masks import masked as masked
from sfumato.engine.denoiser.masks import masked_predictor as masked_predictor
from sfumato.engine.denoiser.switched import Switched as Switched
from sfumato.engine.denoiser.switched import by_calls as by_calls
from sfumato.engine.denoiser.switched import by_noise as by_noise
