"""The text that readers consent to, and the end of their part in a study."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vitatt.reader_study.frozen_model import FrozenModel


class Consent(FrozenModel):
    """Consent of readers.

    Attributes:
        version: Of the text; it is recorded with each consent.
        text: By the code of its language, such as ``en``; paragraphs are separated by a blank line.
        withdrawal: Whether the readings of a reader who withdraws are left out, kept, or as this
            reader asks.
    """

    version: str
    text: Annotated[dict[str, str], Field(min_length=1)]
    withdrawal: Literal["exclude", "keep", "ask"]


_ENGLISH = """\
This is a scientific study of how physicians read images of skin lesions, with and without the \
help of an artificial intelligence (AI). You will see images and answers of patients, and say what \
you think the diagnosis is. The AI can be wrong.

Recorded are: your answers and drawings, the time that each page was visible, pauses, your \
experience, and the times of these entries. Your name, your address and your device are not \
recorded; the study knows you by a code.

Please work alone, on a screen on which you would judge such images, and without other help. You \
can pause at any time and go on later under the same address.

Taking part is voluntary. You can withdraw at any time, without a reason and without disadvantage. \
For questions, ask the person who sent you the address.
"""

_GERMAN = """\
Diese wissenschaftliche Studie untersucht, wie Ärztinnen und Ärzte Bilder von Hautveränderungen \
beurteilen, mit und ohne Hilfe einer künstlichen Intelligenz (KI). Sie sehen Bilder und Antworten \
von Patientinnen und Patienten und sagen, welche Diagnose Sie stellen. Die KI kann irren.

Aufgezeichnet werden: Ihre Antworten und Zeichnungen, die Zeit, die jede Seite sichtbar war, \
Pausen, Ihre Erfahrung und die Zeitpunkte dieser Einträge. Ihr Name, Ihre Adresse und Ihr Gerät \
werden nicht aufgezeichnet; die Studie kennt Sie unter einem Code.

Bitte arbeiten Sie allein, an einem Bildschirm, an dem Sie solche Bilder beurteilen würden, und \
ohne andere Hilfe. Sie können jederzeit pausieren und unter derselben Adresse später fortfahren.

Die Teilnahme ist freiwillig. Sie können jederzeit ohne Angabe von Gründen und ohne Nachteile \
zurücktreten. Bei Fragen wenden Sie sich an die Person, die Ihnen die Adresse geschickt hat.
"""

DEFAULT_CONSENT = Consent(version="1", text={"en": _ENGLISH, "de": _GERMAN}, withdrawal="exclude")
"""A general text; an ethics committee will usually ask for one of the study's own."""
