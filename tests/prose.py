"""Which declaration of human rights is prose in which language of the table."""

from configs.languages import load_languages

# Where each language of the table has its declaration, if not under its ISO 639-3 code. Malay has none.
_NAMES = {"ar": "arb", "az": "azj_latn", "de": "deu_1996", "el": "ell_monotonic", "fa": "pes_1", "lv": "lav"}
_NAMES |= {"mg": "plt", "no": "nob", "pt": "por_BR", "ro": "ron_2006", "sr": "srp_cyrl", "uz": "uzn_latn"}
_NAMES |= {"zh": "cmn_hans"}

LANGUAGES = [language for language in load_languages().languages if language.code != "ms"]
PROSE = {language.code: _NAMES.get(language.code, language.iso639_3) for language in LANGUAGES}
