"""Networks for other programs: plain weights, torch code without lipnet, ONNX, and their certificate."""

from lipnet.export.certificate import certify_export
from lipnet.export.parts import describe, exported_state, rebuild
from lipnet.export.verification import Verified, verify

__all__ = ["Verified", "certify_export", "describe", "exported_state", "rebuild", "verify"]
