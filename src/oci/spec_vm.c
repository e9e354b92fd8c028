/* runtime-spec, config-vm.md. */
#include "oci/records.h"

#include <string.h>

#define AT(member) JSON_AT(struct oci_vm, member)

static const struct json_field hypervisor_fields[] = {
	{ "path", JSON_STRING, AT(hypervisor_path), .required = true },
	{ "parameters", JSON_STRINGS, AT(hypervisor_parameters) },
};

static const struct json_field kernel_fields[] = {
	{ "path", JSON_STRING, AT(kernel_path), .required = true },
	{ "parameters", JSON_STRINGS, AT(kernel_parameters) },
	{ "initrd", JSON_STRING, AT(kernel_initrd) },
};

static int check_format(const struct json_place *at, void *record)
{
	static const char *const known[] = { "raw", "qcow2", "vdi", "vmdk", "vhd" };
	const struct oci_vm *vm = record;

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(vm->image_format, known[i]) == 0)
			return 0;
	return json_wrong(at, "format", EINVAL, "unknown value '%s'; known are raw, qcow2, vdi, vmdk, vhd",
			  vm->image_format);
}

static const struct json_field image_fields[] = {
	{ "path", JSON_STRING, AT(image_path), .required = true },
	{ "format", JSON_STRING, AT(image_format), .required = true },
};

static const struct json_field iomem_fields[] = {
	{ "firstGFN", JSON_UNSIGNED, JSON_AT(struct oci_iomem, first_gfn) },
	{ "firstMFN", JSON_UNSIGNED, JSON_AT(struct oci_iomem, first_mfn), .required = true },
	{ "nrMFNs", JSON_UNSIGNED, JSON_AT(struct oci_iomem, n_mfns), .required = true },
};

static const struct json_record iomem = { sizeof(struct oci_iomem), JSON_FIELDS(iomem_fields) };

static const struct json_field hw_config_fields[] = {
	{ "deviceTree", JSON_STRING, AT(device_tree) },
	{ "vcpus", JSON_UNSIGNED, AT(vcpus) },
	{ "memory", JSON_UNSIGNED, AT(memory) },
	{ "dtdevs", JSON_STRINGS, AT(dtdevs) },
	{ "iomems", JSON_RECORDS, AT(iomems), JSON_COUNT(struct oci_vm, n_iomems), .record = &iomem },
	{ "irqs", JSON_UNSIGNEDS, AT(irqs), JSON_COUNT(struct oci_vm, n_irqs) },
};

static const struct json_record hypervisor = { sizeof(struct oci_vm), JSON_FIELDS(hypervisor_fields) };
static const struct json_record kernel = { sizeof(struct oci_vm), JSON_FIELDS(kernel_fields) };
static const struct json_record image = { sizeof(struct oci_vm), JSON_FIELDS(image_fields), .check = check_format };
static const struct json_record hw_config = { sizeof(struct oci_vm), JSON_FIELDS(hw_config_fields) };

static const struct json_field vm_fields[] = {
	{ "hypervisor", JSON_RECORD, .record = &hypervisor },
	{ "kernel", JSON_RECORD, .record = &kernel, .required = true },
	{ "image", JSON_RECORD, .record = &image },
	{ "hwConfig", JSON_RECORD, JSON_HAS(struct oci_vm, has_hw_config), .record = &hw_config },
};

const struct json_record oci_vm_record = { sizeof(struct oci_vm), JSON_FIELDS(vm_fields) };
