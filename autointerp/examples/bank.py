"""The bank of planted rules: concepts that a latent could detect, each with its true explanation.

Rules are graded by what a judge must know: `token` the words themselves or their look, `phrase` words beside each
other, `topic` what words mean. They hold of any English text or code; those that a corpus holds too rarely are left
out of a run.
"""

import re
from dataclasses import dataclass
from typing import Literal

Grade = Literal["token", "phrase", "topic"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A planted latent: active on every stretch of text that `regex` finds, in any case unless it says otherwise."""

    name: str
    grade: Grade
    explanation: str
    regex: str

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the character spans of a text on which the latent is active, ascending and disjoint.

        >>> Rule("word: cat", "token", 'the word "cat"', r"\\bcat\\b").spans("Cat or concat")
        [(0, 3)]
        """
        return [match.span() for match in re.finditer(self.regex, text, re.IGNORECASE) if match.end() > match.start()]


def _word(word: str) -> Rule:
    return Rule(f"word: {word}", "token", f'the word "{word}"', rf"\b{word}\b")


def _look(name: str, explanation: str, regex: str) -> Rule:
    return Rule(f"look: {name}", "token", explanation, regex)


def _phrase(phrase: str) -> Rule:
    regex = r"\s+".join(phrase.split())
    return Rule(f"phrase: {phrase}", "phrase", f'the phrase "{phrase}"', rf"\b{regex}\b")


def _beside(name: str, explanation: str, regex: str) -> Rule:
    return Rule(f"beside: {name}", "phrase", explanation, regex)


def _topic(name: str, explanation: str, words: str) -> Rule:
    return Rule(f"topic: {name}", "topic", explanation, rf"\b(?:{'|'.join(words.split())})\b")


_WORDS = (
    "the and not is was with for from his her she they that this all if when one you can will return which value would"
)
_PHRASES = (
    "of the|in the|to the|on the|and the|to be|it was|is a|for the|with the|one of|at the|from the|such as|if the|as a|"
    "by the|that the|there was|had been|would be|once upon a time|one day|can be"
)

RULES: tuple[Rule, ...] = (
    *map(_word, _WORDS.split()),
    _look("digits", "numbers written in digits", r"\d+"),
    _look("comma", 'commas: ","', r","),
    _look("question mark", 'question marks: "?"', r"\?"),
    _look("opening bracket", 'opening brackets: "("', r"\("),
    _look("colon", 'colons: ":"', r":"),
    _look("capitals", "words in capitals, of two letters or more", r"(?-i:\b[A-Z]{2,}\b)"),
    _look("ing", 'a word ending in "ing"', r"\b[^\W\d_]+ing\b"),
    _look("ly", 'a word ending in "ly"', r"\b[^\W\d_]+ly\b"),
    _look("ed", 'a word ending in "ed"', r"\b[^\W\d_]+ed\b"),
    _look("tion", 'a word ending in "tion"', r"\b[^\W\d_]+tion\b"),
    _look("un", 'a word beginning with "un"', r"\bun[^\W\d_]+\b"),
    *map(_phrase, _PHRASES.split("|")),
    _beside("after to", 'any word right after "to"', r"(?<=\bto )[^\W\d_]+\b"),
    _beside("after very", 'any word right after "very"', r"(?<=\bvery )[^\W\d_]+\b"),
    _beside("after a full stop", 'any word right after "."', r"(?<=\. )[^\W\d_]+\b"),
    _beside("before a comma", 'any word right before ","', r"\b[^\W\d_]+(?=,)"),
    _beside("before a question mark", 'any word right before "?"', r"\b[^\W\d_]+(?=\?)"),
    _beside("called", 'any word right before "("', r"\b[^\W\d_]+(?=\()"),
    _beside("the and a colon", 'any word right before ":"', r"\b[^\W\d_]+(?=:)"),
    _topic(
        "family", "words for members of a family, such as mother, uncle or grandson",
        "mother mom mum mommy father dad daddy parents? son sons daughters? brothers? sisters? uncles? aunts? cousins? "
        "grandm(?:a|other) grandpa grandfather wife husband grandson nephew niece",
    ),
    _topic(
        "body", "words for parts of the body, such as hand, shoulder or knee",
        "heads? hands? arms? legs? foot feet eyes? ears? nose mouth teeth face hair fingers? knees? shoulders? neck "
        "heart",
    ),
    _topic(
        "animals", "words for animals, such as horse, frog or eagle",
        "cats? dogs? birds? fish horses? cows? pigs? sheep rabbits? bunny mouse mice bears? lions? frogs? ducks? bees? "
        "wolf wolves foxes fox monkeys? eagles? snakes? butterfl(?:y|ies) squirrels? elephants? animals?",
    ),
    _topic(
        "food", "words for things to eat or drink, such as bread, soup or apple",
        "bread cakes? apples? cookies? milk soup meat cheese eggs? fruits? candy sugar rice tea coffee water juice pie "
        "sandwich(?:es)? bananas? honey lunch dinner breakfast food ice cream",
    ),
    _topic(
        "colours", "names of colours, such as red, purple or grey",
        "red blue green yellow black white brown pink purple orange gr[ae]y golden silver",
    ),
    _topic(
        "feelings", "words for feelings, such as happy, ashamed or fear",
        "happy sad angry afraid scared proud excited lonely worried surprised ashamed glad upset fear joy anger sorry "
        "nervous jealous bored",
    ),
    _topic(
        "time", "names of days and months and units of time, such as Monday, July or hour",
        "monday tuesday wednesday thursday friday saturday sunday january february march april june july august "
        "september october november december seconds? minutes? hours? days? weeks? months? years?",
    ),
    _topic(
        "weather", "words about weather and sky, such as rain, cloud or sunny",
        "rain rainy raining snow snowy clouds? cloudy sun sunny wind windy storms? thunder lightning sky rainbow fog",
    ),
    _topic(
        "speech", "verbs for speaking, such as said, asked or whispered",
        "said says say asked ask asks told tell tells replied answered shouted whispered called cried spoke speak "
        "talked talk yelled announced explained",
    ),
    _topic(
        "motion", "verbs for moving from place to place, such as ran, walk or climbed",
        "ran run runs running walk walked walking went go goes going jump jumped climb climbed flew fly fell swim swam "
        "moved travelled traveled came come",
    ),
    _topic(
        "thought", "verbs for thinking and knowing, such as thought, knew or believe",
        "thought think thinks thinking knew know knows known believe believed remember remembered forgot understand "
        "understood decided wondered guess learned realized realised",
    ),
    _topic(
        "seeing", "verbs for seeing and hearing, such as looked, saw or listen",
        "saw see sees seen look looked looks looking watch watched heard hear listen listened noticed stared",
    ),
    _topic(
        "counts", "numbers written as words, such as two, seven or hundred",
        "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty hundred thousand million",
    ),
    _topic(
        "negation", "words that say no, such as not, never or nobody",
        "not no never nobody nothing none cannot neither nor nowhere",
    ),
    _topic(
        "size", "words for size, such as big, tiny or enormous",
        "big bigger biggest small smaller smallest little large larger largest tiny huge enormous giant short "
        "long tall",
    ),
    _topic(
        "house", "words for buildings and their parts, such as house, kitchen or roof",
        "house houses home kitchen room rooms doors? windows? roof walls? floor bed table chairs? garden castle tower "
        "building buildings church",
    ),
    _topic(
        "plants", "words for plants and places where they grow, such as tree, flower or forest",
        "trees? flowers? grass leaf leaves forest woods bush(?:es)? seeds? roots? roses? plants? garden "
        "branch branches",
    ),
    _topic(
        "vehicles", "words for vehicles, such as car, ship or train",
        "cars? trucks? bus buses trains? boats? ships? planes? aircraft bikes? bicycles? wagon tanks? submarines?",
    ),
    _topic(
        "war", "words about war and armed forces, such as army, battle or soldier",
        "war wars army armies battles? soldiers? troops enemy attack attacks attacked guns? gun fleet navy military "
        "forces fire bombs? defen[cs]e infantry regiment",
    ),
    _topic(
        "power", "words about states and law, such as government, court or president",
        "government law laws court courts king queen president minister state states parliament police vote election "
        "party political prince princess",
    ),
    _topic(
        "school", "words about school and study, such as teacher, lesson or university",
        "school schools teachers? students? class classes books? lessons? learn learned university college study read "
        "reading write writing",
    ),
    _topic(
        "music and games", "words about music, games and sport, such as song, ball or team",
        "song songs sing sang singing music dance danced dancing band album play played playing plays game games ball "
        "team teams toys? toy score scored season",
    ),
    _topic(
        "data types", "names of data types in programming, such as string, list or float",
        "string strings str int integer integers float floats list lists dict tuple tuples bool boolean bytes array "
        "arrays object objects",
    ),
    _topic(
        "program parts", "names of the parts of a program, such as function, module or argument",
        "function functions class classes method methods module modules argument arguments parameter parameters "
        "variable attribute attributes instance package",
    ),
    _topic(
        "errors", "words about things that go wrong in programs, such as error, exception or fail",
        "errors? exceptions? raise raises raised fail fails failed failure invalid warning warnings missing traceback",
    ),
    _topic(
        "files", "words about files and where they lie, such as file, path or directory",
        "files? paths? directory directories folder filename disk open read write stream streams encoding",
    ),
    _topic(
        "true and false", "words of logic, such as true, false or otherwise",
        "true false none null if else otherwise unless equal",
    ),
)  # fmt: skip
