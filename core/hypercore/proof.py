"""Proofs: asked for (`proof_types`), made (`proof_create`) and checked (`proof_verify`)."""

from __future__ import annotations

from .proof_create import create_proof
from .proof_types import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
    Verified,
)
from .proof_verify import verify_detached, verify_proof

__all__ = [
    "BlockProof",
    "BlockRequest",
    "HashProof",
    "HashRequest",
    "Proof",
    "ProofRequest",
    "SeekProof",
    "SeekRequest",
    "UpgradeProof",
    "UpgradeRequest",
    "Verified",
    "create_proof",
    "verify_detached",
    "verify_proof",
]
