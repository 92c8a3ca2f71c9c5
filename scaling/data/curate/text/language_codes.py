"""Codes of the languages that py3langid 0.4 tells apart, and which of them somebody means by another name."""

from difflib import get_close_matches

# A language a line: the label of the model, other codes of it (ISO 639-2 and -3, and older ones), its English name.
_TABLE = """
ace - Acehnese
af afr Afrikaans
am amh Amharic
an arg Aragonese
ar ara,arb Arabic
ary - Moroccan Arabic
arz - Egyptian Arabic
as asm Assamese
az aze,azj Azerbaijani
ba bak Bashkir
bcl bik Central Bikol
be bel Belarusian
bg bul Bulgarian
bn ben Bengali
br bre Breton
bs bos Bosnian
ca cat Catalan
crh - Crimean Tatar
cs ces,cze Czech
cy cym,wel Welsh
da dan Danish
de deu,ger German
dz dzo Dzongkha
el ell,gre Greek
en eng English
eo epo Esperanto
es spa Spanish
et est,ekk Estonian
eu eus,baq Basque
ext - Extremaduran
fa fas,per,pes Persian
fi fin Finnish
fo fao Faroese
fr fra,fre French
fuv ff,ful Nigerian Fulfulde
fy fry Western Frisian
ga gle Irish
gcf - Guadeloupean Creole
gcr - Guianese Creole
gd gla Scottish Gaelic
gl glg Galician
gom - Goan Konkani
grc - Ancient Greek
gu guj Gujarati
gug gn,grn Guarani
guw - Gun
ha hau Hausa
hbo - Ancient Hebrew
he heb,iw Hebrew
hi hin Hindi
hr hrv Croatian
ht hat Haitian Creole
hu hun Hungarian
hy hye,arm Armenian
id ind,in Indonesian
ig ibo Igbo
is isl,ice Icelandic
it ita Italian
ja jpn,jp Japanese
jv jav,jw Javanese
ka kat,geo Georgian
kab - Kabyle
kik ki Kikuyu
kk kaz Kazakh
km khm Khmer
kn kan Kannada
ko kor,kr Korean
ku kur,kmr Kurdish
ky kir Kyrgyz
la lat Latin
lb ltz Luxembourgish
lg lug Ganda
lij - Ligurian
ln lin Lingala
lo lao Lao
lt lit Lithuanian
ltg - Latgalian
lv lav,lvs Latvian
mg mlg,plt Malagasy
mk mkd,mac Macedonian
ml mal Malayalam
mn mon,khk Mongolian
mr mar Marathi
ms msa,may,zsm Malay
mt mlt Maltese
my mya,bur Burmese
ne nep,npi Nepali
nl nld,dut Dutch
nn nno Norwegian Nynorsk
no nor,nb,nob Norwegian
nso - Northern Sotho
oc oci Occitan
om orm Oromo
or ori,ory Odia
pa pan Punjabi
pcm - Nigerian Pidgin
pl pol Polish
ps pus,pbt Pashto
pt por Portuguese
qu que Quechua
ro ron,rum,mo Romanian
ru rus Russian
rw kin Kinyarwanda
sa san Sanskrit
sdh - Southern Kurdish
se sme Northern Sami
si sin Sinhala
sk slk,slo Slovak
sl slv Slovenian
sn sna Shona
so som Somali
sq sqi,alb,als Albanian
sr srp,srl Serbian
st sot Southern Sotho
sv swe Swedish
sw swa,swh Swahili
ta tam Tamil
te tel Telugu
tg tgk Tajik
th tha Thai
tk tuk Turkmen
tl tgl,fil Tagalog
tr tur Turkish
tt tat Tatar
ug uig Uyghur
uk ukr,ua Ukrainian
ur urd Urdu
uz uzb,uzn Uzbek
uzs - Southern Uzbek
vec - Venetian
vi vie Vietnamese
vo vol Volapük
wa wln Walloon
wuu - Wu Chinese
xh xho Xhosa
yo yor Yoruba
yue - Cantonese
zh zho,chi,cmn,cn Chinese
zu zul Zulu
zxx - no language
"""
_ROWS = [line.split(maxsplit=2) for line in _TABLE.split("\n") if line]

CODES = tuple(code for code, *_ in _ROWS)
"""What a language may be called: two letters where ISO 639-1 has them; ``zxx`` is text of no language, as numbers."""
_MEANT = {other: code for code, others, name in _ROWS for other in (*others.split(","), name.lower()) if other != "-"}


def check_code(code: str) -> str | None:
    """Why a code is none of the CODES, in a line that says which is meant; None if it is."""
    if code in CODES:
        return None
    word = " ".join(code.lower().split())
    first = word.replace("_", "-").split("-")[0]
    for known in (word, first):
        if known in CODES or known in _MEANT:
            return f"'{code}' is no code of a language: write {_MEANT.get(known, known)}"
    close = get_close_matches(word, [*CODES, *_MEANT], n=1, cutoff=0.75) if len(word) > 3 else []
    meant = f": did you mean {_MEANT.get(close[0], close[0])}?" if close else ", such as en, de or zh"
    return f"'{code}' is none of the {len(CODES)} codes of languages{meant}"
