// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes for the parsers of preservectl; the first byte chooses one. For libFuzzer.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../preservectl/conf.h"
#include "../preservectl/ctl.h"
#include "../preservectl/formats.h"
#include "../preservectl/image.h"
#include "../preservectl/kernel.h"
#include "../preservectl/manifest.h"
#include "../preservectl/say.h"

struct ctl_options ctl;

static void as_list(const char *text)
{
	struct manifest manifest;

	if (!manifest_parse(&manifest, text)) {
		/* What is accepted can be written, and is accepted again. */
		char *copy = manifest_text(&manifest);
		struct manifest again;

		if (copy && manifest_parse(&again, copy))
			abort();
		if (copy)
			manifest_free(&again);
		free(copy);
	}
	manifest_free(&manifest);
}

static void as_formats(const char *text)
{
	struct formats_finding findings[FORMATS_MAX_FINDINGS];
	const char *half = text + strlen(text) / 2;

	formats_compare(text, half, findings);
	if (formats_compare(half, text, findings) > FORMATS_MAX_FINDINGS)
		abort();
}

static void as_words(const char *text)
{
	uint64_t size;
	char value[8];

	size_parse(text, &size);
	cmdline_value(text, "kho", value, sizeof(value));
	cmdline_switch(text, "liveupdate");
}

static void as_conf(const char *text)
{
	struct conf conf = {};

	conf_parse(&conf, "fuzz", text);
	conf_free(&conf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image image;
	char *text;

	if (!size)
		return 0;
	text = malloc(size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 5) {
	case 0:
		as_list(text);
		break;
	case 1:
		image_parse(data + 1, size - 1, &image);
		image_free(&image);
		break;
	case 2:
		as_formats(text);
		break;
	case 3:
		as_conf(text);
		break;
	case 4:
		as_words(text);
		break;
	}
	free(text);
	return 0;
}
