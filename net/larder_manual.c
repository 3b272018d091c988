/* larder_manual.c: writes docs/larder.1 from the table of settings (make update-manual). */
#include "net/settings.h"

int main(void)
{
	settings_print_manual(stdout);
	return 0;
}
