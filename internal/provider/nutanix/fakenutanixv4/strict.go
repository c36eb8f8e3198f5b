package fakenutanixv4

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	clusters "github.com/nutanix/ntnx-api-golang-clients/clustermgmt-go-client/v4/models/clustermgmt/v4/config"
	networking "github.com/nutanix/ntnx-api-golang-clients/networking-go-client/v4/models/networking/v4/config"
	prism "github.com/nutanix/ntnx-api-golang-clients/prism-go-client/v4/models/prism/v4/config"
	ahv "github.com/nutanix/ntnx-api-golang-clients/vmm-go-client/v4/models/vmm/v4/ahv/config"
	content "github.com/nutanix/ntnx-api-golang-clients/vmm-go-client/v4/models/vmm/v4/content"
)

// models make the types of the SDK that the driver's calls need, by the names
// that the SDK's source gives them.
func models() map[string]func() any {
	const vmm, templates, config = "vmm/v4/ahv/config.", "vmm/v4/content.", "prism/v4/config."
	const cluster, network = "clustermgmt/v4/config.", "networking/v4/config."
	return map[string]func() any{
		vmm + "CloneOverrideParams":            func() any { return ahv.NewCloneOverrideParams() },
		vmm + "AssociateVmCategoriesParams":    func() any { return ahv.NewAssociateVmCategoriesParams() },
		vmm + "CloneVmApiResponse":             func() any { return ahv.NewCloneVmApiResponse() },
		vmm + "AssociateCategoriesApiResponse": func() any { return ahv.NewAssociateCategoriesApiResponse() },
		vmm + "PowerOnVmApiResponse":           func() any { return ahv.NewPowerOnVmApiResponse() },
		vmm + "DeleteVmApiResponse":            func() any { return ahv.NewDeleteVmApiResponse() },
		vmm + "GetVmApiResponse":               func() any { return ahv.NewGetVmApiResponse() },
		vmm + "ListVmsApiResponse":             func() any { return ahv.NewListVmsApiResponse() },

		templates + "TemplateDeployment":        func() any { return content.NewTemplateDeployment() },
		templates + "DeployTemplateApiResponse": func() any { return content.NewDeployTemplateApiResponse() },
		templates + "GetTemplateApiResponse":    func() any { return content.NewGetTemplateApiResponse() },
		templates + "ListTemplatesApiResponse":  func() any { return content.NewListTemplatesApiResponse() },

		config + "Category":                  func() any { return prism.NewCategory() },
		config + "CreateCategoryApiResponse": func() any { return prism.NewCreateCategoryApiResponse() },
		config + "UpdateCategoryApiResponse": func() any { return prism.NewUpdateCategoryApiResponse() },
		config + "DeleteCategoryApiResponse": func() any { return prism.NewDeleteCategoryApiResponse() },
		config + "GetCategoryApiResponse":    func() any { return prism.NewGetCategoryApiResponse() },
		config + "ListCategoriesApiResponse": func() any { return prism.NewListCategoriesApiResponse() },
		config + "GetTaskApiResponse":        func() any { return prism.NewGetTaskApiResponse() },
		config + "ListTasksApiResponse":      func() any { return prism.NewListTasksApiResponse() },

		cluster + "GetClusterApiResponse":   func() any { return clusters.NewGetClusterApiResponse() },
		cluster + "ListClustersApiResponse": func() any { return clusters.NewListClustersApiResponse() },
		network + "GetSubnetApiResponse":    func() any { return networking.NewGetSubnetApiResponse() },
		network + "ListSubnetsApiResponse":  func() any { return networking.NewListSubnetsApiResponse() },
	}
}

// strict finds what the SDK's types took without knowing it: fields, names of
// types, values of enumerations.
func strict(decoded any) []error { return walk(reflect.ValueOf(decoded), "") }

func walk(v reflect.Value, at string) (wrong []error) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		if strings.HasPrefix(typeName(v), "OneOf") {
			held := v.MethodByName("GetValue").Call(nil)[0]
			if held.IsNil() {
				return []error{fmt.Errorf("%s holds none of the types that it may hold", at)}
			}
			return walk(held, at)
		}
		return walk(v.Elem(), at)
	case reflect.Slice:
		for i := range v.Len() {
			wrong = append(wrong, walk(v.Index(i), fmt.Sprintf("%s[%d]", at, i))...)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			wrong = append(wrong, walk(v.MapIndex(key), fmt.Sprintf("%s.%v", at, key))...)
		}
	case reflect.Int:
		if name, ok := v.Interface().(interface{ GetName() string }); ok && name.GetName() == "$UNKNOWN" {
			wrong = append(wrong, fmt.Errorf("%s has a value that %s does not have", at, v.Type().Name()))
		}
	case reflect.Struct:
		if _, isTime := v.Interface().(time.Time); !isTime {
			wrong = fields(v, at)
		}
	default:
	}
	return wrong
}

func typeName(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		return v.Type().Elem().Name()
	}
	return ""
}

// fields looks at one object of the API.
func fields(v reflect.Value, at string) (wrong []error) {
	fault := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(at+format, args...)) }
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i)
		switch name {
		case "UnknownFields_":
			for _, key := range field.MapKeys() {
				fault(" has no field %q", key)
			}
			continue
		case "Reserved_":
			continue
		case "ObjectType_":
			_, path, _ := strings.Cut(v.Type().PkgPath(), "/models/")
			want := strings.ReplaceAll(path, "/", ".") + "." + v.Type().Name()
			if got, ok := field.Interface().(*string); ok && got != nil && *got != want {
				fault(" says that it is a %s, and is a %s", *got, want)
			}
			continue
		}
		if held := v.FieldByName(strings.TrimSuffix(name, "ItemDiscriminator_")); strings.HasSuffix(name, "ItemDiscriminator_") {
			wrong = append(wrong, discriminated(field, held, at+"."+name)...)
			continue
		}
		wrong = append(wrong, walk(field, at+"."+name)...)
	}
	return wrong
}

// discriminated compares the type that an object names with the one that is
// there; the types of lists are named otherwise.
func discriminated(named, held reflect.Value, at string) []error {
	name, ok := named.Interface().(*string)
	if !ok || !held.IsValid() || held.IsNil() {
		return nil
	}
	value := held.MethodByName("GetValue").Call(nil)[0]
	if value.IsNil() || value.Elem().Kind() == reflect.Slice {
		return nil
	}
	actual, ok := value.Elem().FieldByName("ObjectType_").Interface().(*string)
	if ok && (name == nil || *name != *actual) {
		return []error{fmt.Errorf("%s does not name %s", at, *actual)}
	}
	return nil
}
