"""The words with which recipients opt out of the messages of a sender, and opt in again."""

import re
import unicodedata

STOP = frozenset(
    {
        *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"),  # Twilio's words
        *("STOPP", "ABMELDEN", "ABBESTELLEN", "BEENDEN"),
        *("ALTO", "PARAR", "BAJA", "CANCELAR", "DETENER"),
    }
)
START = frozenset({*("START", "YES", "UNSTOP"), *("STARTEN", "ANMELDEN"), *("ALTA", "INICIAR", "COMENZAR")})


def word_of(text: str) -> str:
    """Return a message as one word in capital letters, without spaces and punctuation."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFC", text)).upper()
