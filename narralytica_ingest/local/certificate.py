"""A certificate by which the parts of one embedded server know each other, and nobody else.

What belongs here: making it, once. It signs itself, is the only one that its owners trust, and its key never leaves
the home: whoever cannot read the file gets no connection.
"""

import base64
import os
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from Cryptodome.Hash import SHA256
from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import DSS
from Cryptodome.Util.asn1 import DerBitString, DerInteger, DerObject, DerObjectId, DerSequence, DerSetOf

_COMMON_NAME, _ECDSA_WITH_SHA256 = "2.5.4.3", "1.2.840.10045.4.3.2"  # X.520, RFC 5758
_UTF8_STRING, _UTC_TIME = 0x0C, 0x17
_LIFE = timedelta(days=365 * 20)  # as long as its home; after 2049 a time would be written in another way


def ensure_certificate(certificate: Path, key: Path, name: str) -> None:
    """Writes a certificate (PEM, mode 0600) for `name` and its key, unless both are there."""
    if certificate.exists() and key.exists():
        return
    pair = ECC.generate(curve="P-256")
    _write(key, pair.export_key(format="PEM", use_pkcs8=True))
    _write(certificate, _self_signed(pair, name))


def _self_signed(pair: ECC.EccKey, name: str) -> str:
    """RFC 5280's smallest: subject and issuer are the same, and there are no extensions."""
    algorithm = DerSequence([DerObjectId(_ECDSA_WITH_SHA256)])
    common_name = DerSequence([DerObjectId(_COMMON_NAME), DerObject(_UTF8_STRING, name.encode())])
    subject = DerSequence([DerSetOf({common_name.encode()})])
    now = datetime.now(UTC)
    # A clock that is set back a little must not make it a certificate of tomorrow.
    validity = DerSequence([_time(now - timedelta(days=1)), _time(now + _LIFE)])
    public = DerSequence().decode(bytes(pair.public_key().export_key(format="DER")))
    serial = DerInteger(secrets.randbits(63))
    signed = DerSequence([serial, algorithm, subject, validity, subject, public])
    signature = DSS.new(pair, "fips-186-3", encoding="der").sign(SHA256.new(signed.encode()))
    whole = DerSequence([signed, algorithm, DerBitString(signature)]).encode()
    return _pem(whole)


def _pem(der: bytes) -> str:
    lines = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"


def _time(moment: datetime) -> DerObject:
    return DerObject(_UTC_TIME, f"{moment:%y%m%d%H%M%SZ}".encode())


def _write(path: Path, text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    fresh.replace(path)
