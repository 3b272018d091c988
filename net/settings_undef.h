/* settings_undef.h: ends an expansion of settings.def, so that the next can begin. */
#undef GROUP
#undef SETTING
#undef EXTENDED
#undef ACTION
#undef INERT
#undef INERT_EXTENDED
#undef REFUSED
#undef REFUSED_EXTENDED
#undef FACT
