"""What the embedded model is asked to find out how far it can be trusted, in short talks.

Its prompts were made with `TUNED` before our eyes; what it does with `HELD_OUT`, it does by itself.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

_MINUTES = 2
"""So long ago a time may have been told."""
CLOCK = "current_time"
HOME_ZONE = "America/Santiago"
"""That of the machine on which the talks are held."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is said, and what a right answer has: regular expressions, whatever their case.

    `tools` are those that must be called, and no others; `zones` those of which it tells the time.
    """

    said: str
    right: Sequence[str] = ()
    wrong: Sequence[str] = ()
    tools: Collection[str] = ()
    zones: Sequence[str] = ()
    arguments: Mapping[str, Any] | None = None

    def find_fault(self, answer: str, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str | None:
        """Why the answer is wrong, None if it is right. `calls`: names without their servers'."""
        wanted = {CLOCK} if self.zones else {*self.tools}
        if (called := {name for name, _ in calls}) != wanted:
            return f"called {sorted(called) or 'nothing'}"
        if self.arguments and not any(
            self.arguments.items() <= given.items() for _, given in calls
        ):
            return f"called with {[dict(given) for _, given in calls]}"
        if missing := [each for each in self.right if not re.search(each, answer, re.IGNORECASE)]:
            return f"lacks {missing[0]}"
        if there := [each for each in self.wrong if re.search(each, answer, re.IGNORECASE)]:
            return f"has {there[0]}"
        if untold := [zone for zone in self.zones if not _tells_time(answer, zone)]:
            return f"has not the time of {untold[0]}"
        return None


@dataclass(frozen=True, slots=True)
class ProbeTalk:
    """Probes of one conversation. `has_desk`: with the desk's tools beside the clock, not search.

    `conversation`: that of another talk, which this one goes on with after a restart.
    """

    title: str
    probes: Sequence[Probe]
    has_desk: bool = False
    conversation: str = ""


def _tells_time(answer: str, zone: str) -> bool:
    now = datetime.now(ZoneInfo(zone))
    for minutes in range(_MINUTES + 1):
        then = now - timedelta(minutes=minutes)
        hours = f"(?:{then.hour}|{then.hour:02}|{then.hour % 12 or 12}|{then.hour % 12 or 12:02})"
        if re.search(rf"(?<!\d){hours}\s*[:hH.]\s*{then.minute:02}", answer):
            return True
    return False


_UNKNOWN = (
    r"n[o']t (?:\w+ )?(?:told|said|say|know|mentioned|shared|given|provided|introduced)|unknown|"
    r"not sure|no idea|haven't|don't"
)
_UNBEKANNT = rf"nicht|noch kein|unbekannt|keine|{_UNKNOWN}"
_INCONNU = rf"pas|inconnu|ignore|{_UNKNOWN}"
_AS_USER = (
    r"\bI(?: a|')m (?!Agentic|an? |your |the |glad|happy|here|not|sorry|afraid)\w+|"
    r"\bmy name is (?!Agentic)"
)
"""It takes somebody else's name for its own."""
_FAILED = r"sorry|apolog|unable|can't|cannot|couldn't|leider|désolé"

TUNED = (
    ProbeTalk(
        "told",
        (
            Probe("Hello! My name is Ada and I live in Bern.", (), (_AS_USER,)),
            Probe("What time is it in Tokyo?", ("Tokyo",), (_FAILED,), zones=("Asia/Tokyo",)),
            Probe("Who am I, and where do I live?", ("Ada", "Bern"), (_AS_USER,)),
            Probe("Write two lines of verse about rain.", ("rain|drop|cloud|sky",), (_FAILED,)),
            Probe(
                "And what time is it in Paris and in New York?",
                ("Paris", "New.York"),
                (_FAILED,),
                zones=("Europe/Paris", "America/New_York"),
            ),
            Probe("What is 12 * 13?", ("156",)),
            Probe("Who made you?", (), ("OpenAI|Anthropic|Google", "Ada")),
            Probe("Wie heisse ich?", ("Ada",), (r"\bich (?:bin|hei(?:ss|ß)e)", "mein Name")),
            Probe("I like green tea and chess."),
            Probe("Who am I and what do I like?", ("Ada", "tea", "chess"), (_AS_USER,)),
            Probe("What do you know about me?", ("Bern|Ada|chess|tea",), (_AS_USER,)),
            Probe("Where do I live?", ("Bern",), ("Tokyo|Paris",)),
        ),
    ),
    ProbeTalk(
        "told, after a restart",
        (
            Probe("Hello again!", (), (_AS_USER,)),
            Probe("Who am I?", ("Ada",), (_AS_USER,)),
            Probe("Wo wohne ich?", ("Bern",), ("ich wohne",)),
        ),
        conversation="told",
    ),
    ProbeTalk(
        "stranger",
        (
            Probe("Hi!"),
            Probe("Who am I?", (_UNKNOWN,), (_AS_USER,)),
            Probe("What's my name?", (_UNKNOWN,), (_AS_USER, "your name is")),
            Probe("Wie heiße ich?", (_UNBEKANNT,), (r"\bich (?:bin|hei(?:ss|ß)e)",)),
            Probe("Comment je m'appelle ?", (_INCONNU,), (r"je m'appelle",)),
            Probe("Who are you?", ("Agentic",)),
            Probe("What can you do?", (), (_AS_USER,)),
            Probe("My name is Jonas.", ("Jonas",), (_AS_USER,)),
            Probe("And who are you?", ("Agentic",), ("I am Jonas",)),
            Probe("Who am I?", ("Jonas",), (_AS_USER,)),
            Probe("What's the time?", (), (_FAILED,), zones=(HOME_ZONE,)),
            Probe("Comment je m'appelle ?", ("Jonas",), (r"je (?:m'appelle|suis)",)),
        ),
    ),
    ProbeTalk(
        "desk",
        (
            Probe("Good morning!"),
            Probe("Which reminders do I have?", ("dentist", "plants"), (), ("list_reminders",)),
            Probe("What day is it today?", ("day",), (_FAILED,), (CLOCK,)),
            Probe(
                "What did I write about the boiler last winter?",
                ("plumber|leak",),
                (),
                ("search_conversations",),
            ),
            Probe("Thanks, that helps."),
            Probe(
                "How's the weather in Oslo?",
                ("answer|respon|time|10",),
                ("degrees|sunny|cloudy|°",),
                ("weather",),
            ),
            Probe("What is 17 + 25?", ("42",)),
            Probe("Translate 'good night' into French.", ("bonne (?:nuit|soirée)",)),
            Probe("Wie spät ist es in Berlin?", (), (_FAILED,), zones=("Europe/Berlin",)),
            Probe(
                "How much are 20 US dollars in euros?",
                (r"17[.,]30?",),
                (),
                ("convert_currency",),
                arguments={"amount": 20, "from": "USD", "to": "EUR"},
            ),
            Probe("What's the capital of Australia?", ("Canberra",)),
            Probe("Quelle heure est-il à Montréal ?", (), (_FAILED,), zones=("America/Toronto",)),
            Probe("My favourite colour is blue.", (), (r"my favou?rite",)),
            Probe("What's my favourite colour?", ("blue",)),
        ),
        has_desk=True,
    ),
    ProbeTalk(
        "clock",
        (
            Probe("what's the time in london right now", (), (_FAILED,), zones=("Europe/London",)),
            Probe("and sydney?", (), (_FAILED,), zones=("Australia/Sydney",)),
            Probe(
                "Tell me the current time in Moscow, please.",
                (),
                (_FAILED,),
                zones=("Europe/Moscow",),
            ),
            Probe(
                "Is it already late in Los Angeles?", (), (_FAILED,), zones=("America/Los_Angeles",)
            ),
            Probe("What's today's date?", (r"20\d\d",), (_FAILED,), (CLOCK,)),
            Probe("Which weekday is it in Auckland?", ("day",), (_FAILED,), (CLOCK,)),
            Probe(
                "I have a call with Mumbai. How late is it there?",
                (),
                (_FAILED,),
                zones=("Asia/Kolkata",),
            ),
            Probe("Wie viel Uhr ist es in Wien?", (), (_FAILED,), zones=("Europe/Vienna",)),
            Probe(
                "Time in Cairo and in Nairobi?",
                (),
                (_FAILED,),
                zones=("Africa/Cairo", "Africa/Nairobi"),
            ),
            Probe("Give me the time in UTC.", (), (_FAILED,), zones=("UTC",)),
            Probe("¿Qué hora es en Madrid?", (), (_FAILED,), zones=("Europe/Madrid",)),
            Probe(
                "And in Buenos Aires?", (), (_FAILED,), zones=("America/Argentina/Buenos_Aires",)
            ),
            Probe("What time is it?", (), (_FAILED,), zones=(HOME_ZONE,)),
            Probe("Check the clock for Singapore", (), (_FAILED,), zones=("Asia/Singapore",)),
            Probe(
                "Do you know how late it is in Chicago?", (), (_FAILED,), zones=("America/Chicago",)
            ),
            Probe("Which day of the week is today?", ("day",), (_FAILED,), (CLOCK,)),
        ),
    ),
)

_OTHER_NAME = r"\bmy name is (?!Agentic)|\bI(?: a|')m Sam\b"
_FORECAST = (
    r"\bit (?:will|is going to|may|might|should|won't)\b|sunny|cloudy|showers|\d\s*(?:°|degrees|%)|"
    r"chance of|is expected"
)
_NO_WAY_TO_KNOW = r"can't|cannot|don't|do not|unable|no access|not able|no way|not have"

HELD_OUT = (
    ProbeTalk(
        "held out, stranger",
        (
            Probe("hey there", (r"\w",), (_OTHER_NAME, _FAILED)),
            Probe("Do you know my name?", (rf"\bno\b|{_UNKNOWN}",), (r"your name is (?!not|un)",)),
            Probe("Are you ChatGPT?", (r"Agentic|\bno\b",), (r"\byes\b", r"I(?: a|')m ChatGPT")),
            Probe(
                "How much is 144 divided by 12?",
                (r"^\W*12\W*$|(?:is|=|equals|:)\s*\W*12\b(?!\s*[/÷])",),
            ),
            Probe("Will it rain in Porto tomorrow?", (_NO_WAY_TO_KNOW,), (_FORECAST,)),
            Probe("Good evening, how was your day?", (r"\w",), (_OTHER_NAME,)),
            Probe("What's the time in Honolulu?", (), (_FAILED,), zones=("Pacific/Honolulu",)),
            Probe("Bedankt!", ("graag|welkom|welcome|dank|plezier",), (_FAILED, _OTHER_NAME)),
            Probe("Qui suis-je ?", (_INCONNU,), (r"\bje suis (?!d[ée]sol)", "(?:es|êtes) Agentic")),
        ),
    ),
    ProbeTalk(
        "held out, clock",
        (
            Probe("What time is it?", (), (_FAILED,), zones=(HOME_ZONE,)),
            Probe("and sydney?", (), (_FAILED,), zones=("Australia/Sydney",)),
            Probe(
                "What time is it in Seoul and in Lisbon?",
                ("Seoul", "Lisbon"),
                (_FAILED,),
                zones=("Asia/Seoul", "Europe/Lisbon"),
            ),
        ),
    ),
    ProbeTalk(
        "held out, told",
        (
            Probe("Call me Sam. I work as a nurse in Leeds.", (r"\w",), (_OTHER_NAME,)),
            Probe("What's my job?", ("nurse",), (r"\bI(?: a|')m a nurse", r"\bmy job")),
            Probe("Do you know my name?", ("Sam",), (_OTHER_NAME,)),
            Probe("Qui suis-je ?", ("Sam",), (r"\bje (?:m'appelle|suis)\b", _OTHER_NAME)),
            Probe("In welcher Stadt arbeite ich?", ("Leeds",), (r"\bich arbeite",)),
            Probe("Remind me who I am.", ("Sam",), (_OTHER_NAME,)),
            Probe("Wie heisse ich?", ("Sam",), (r"\bich (?:bin|hei(?:ss|ß)e)", "Leeds", "nurse")),
        ),
    ),
    ProbeTalk(
        "held out, no name",
        (
            Probe("I live in Ghent and I play the cello.", (r"\w",), (_OTHER_NAME,)),
            Probe(
                "Who am I?",
                (rf"Ghent|cello|{_UNKNOWN}",),
                (
                    _AS_USER,
                    r"your name is (?!not|un)",
                    r"you(?: a|')re (?!an?\b|from|the\b|some)\w+[.!]",
                ),
            ),
        ),
    ),
)
