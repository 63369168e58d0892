"""The public files of LASER's encoders, by language: as the package laser_encoders 0.0.2 lists and fetches them.

LASER3 names a language by ISO 639-3 and ISO 15924, as FLORES-200 does: `npi_Deva` is Nepali.
"""

from __future__ import annotations

from configs.errors import UserError
from configs.languages import load_languages

MODEL, PIECES, VOCABULARY = "laser2.pt", "laser2.spm", "laser2.cvocab"
# Languages with an encoder of their own.
_NAMES = """
    ace_Latn aka_Latn als_Latn amh_Ethi asm_Beng awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl
    bem_Latn ben_Beng bho_Deva bjn_Latn bod_Tibt bug_Latn ceb_Latn cjk_Latn ckb_Arab crh_Latn cym_Latn dik_Latn diq_Latn
    dyu_Latn dzo_Tibt ewe_Latn fao_Latn fij_Latn fon_Latn fur_Latn fuv_Latn gaz_Latn gla_Latn gle_Latn grn_Latn guj_Gujr
    hat_Latn hau_Latn hin_Deva hne_Deva hye_Armn ibo_Latn ilo_Latn ind_Latn jav_Latn kab_Latn kac_Latn kam_Latn kan_Knda
    kas_Arab kas_Deva kat_Geor kaz_Cyrl kbp_Latn kea_Latn khk_Cyrl khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn kmr_Latn
    knc_Arab knc_Latn kon_Latn lao_Laoo lij_Latn lim_Latn lin_Latn lmo_Latn ltg_Latn ltz_Latn lua_Latn lug_Latn luo_Latn
    lus_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Latn mlt_Latn mni_Beng mos_Latn mri_Latn mya_Mymr npi_Deva nso_Latn
    nus_Latn nya_Latn ory_Orya pag_Latn pan_Guru pap_Latn pbt_Arab pes_Arab plt_Latn prs_Arab quy_Latn run_Latn sag_Latn
    san_Deva sat_Beng scn_Latn shn_Mymr sin_Sinh smo_Latn sna_Latn snd_Arab som_Latn sot_Latn srd_Latn ssw_Latn sun_Latn
    swh_Latn szl_Latn tam_Taml taq_Latn tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi tpi_Latn tsn_Latn tso_Latn
    tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab umb_Latn urd_Arab uzn_Latn vec_Latn war_Latn wol_Latn xho_Latn
    ydd_Hebr yor_Latn zsm_Latn zul_Latn
"""
# Those of them with pieces of their own; the others have LASER2's.
_NAMES_WITH_PIECES = """
    amh_Ethi ayr_Latn azj_Latn bak_Cyrl bel_Cyrl bod_Tibt ckb_Arab crh_Latn dik_Latn dzo_Tibt fur_Latn fuv_Latn grn_Latn
    kab_Latn kac_Latn kaz_Cyrl kir_Cyrl kmr_Latn lij_Latn lim_Latn lmo_Latn ltg_Latn mya_Mymr pbt_Arab pes_Arab prs_Arab
    sat_Beng scn_Latn srd_Latn szl_Latn taq_Latn tgk_Cyrl tir_Ethi tzm_Tfng vec_Latn
"""
LASER3 = tuple(_NAMES.split())
_OWN_PIECES = frozenset(_NAMES_WITH_PIECES.split())


def laser3_name(code: str) -> str:
    """Return the name of a language's public LASER3 encoder; of several that of its main script.

    Args:
        code: ISO 639-1, as in `configs/languages.yaml`.

    Raises:
        UserError: the language is unknown or has none; the message lists those that have one.
    """
    table = load_languages()
    language = table.get(code)
    for script in language.scripts:
        for name in LASER3:
            if name in language.labels() and name.endswith(f"_{script}"):
                return name
    every = ", ".join(own.code for own in table.languages if not own.labels().isdisjoint(LASER3))
    raise UserError(
        f"no LASER3 encoder of {code!r} is public (stages.laser.files.laser3): name a checkpoint, or leave the "
        f"language out, and LASER2 encodes it. Those with one: {every}"
    )


def laser3_files(name: str) -> tuple[str, str, str]:
    """Return the public files of a LASER3 encoder: checkpoint, pieces, vocabulary."""
    own = f"laser3-{name}.v1"
    if name in _OWN_PIECES:
        return f"{own}.pt", f"{own}.spm", f"{own}.cvocab"
    return f"{own}.pt", PIECES, VOCABULARY


PUBLIC_FILES = frozenset({MODEL, PIECES, VOCABULARY}.union(*map(laser3_files, LASER3)))
