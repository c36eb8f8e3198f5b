package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/headroom-dev/headroom/internal/auth"
	"github.com/headroom-dev/headroom/internal/fleet"
	"github.com/headroom-dev/headroom/internal/manifest"
	"github.com/headroom-dev/headroom/internal/provider"
	"github.com/headroom-dev/headroom/internal/settings"
	"github.com/headroom-dev/headroom/internal/startup"
	"github.com/headroom-dev/headroom/internal/store"
)

// Draft names a VM provider config to look at: a stored one, or one of the
// documents, which is not stored. Secrets that a document leaves out are taken
// from the stored one of its name.
type Draft struct {
	Name      string          `json:"name,omitempty" doc:"Name of the VM provider. May be left out when the documents hold just one."`
	Documents []ApplyDocument `json:"documents,omitempty" maxItems:"10000" doc:"YAML documents with the VM provider; empty: the stored one is looked at."`
}

// sampleServer stands for a machine in previews.
func sampleServer(vmProvider string) *fleet.Server {
	return &fleet.Server{ID: "01jexamp1e0000000000000000", Name: fleet.ServerName("example"), VMProvider: vmProvider, Pool: "example", Zone: "default", AutoscaleConfig: "example"}
}

// draft finds the provider config that is meant, as it would be stored.
func (s *Service) draft(ctx context.Context, d Draft) (*store.Object, error) {
	if len(d.Documents) == 0 {
		var o *store.Object
		return o, s.Store.Read(ctx, func(tx *store.Tx) (err error) {
			if o, err = tx.Object(fleet.KindVMProvider, d.Name); err != nil {
				err = notFound(err, "VM provider", d.Name)
			}
			return err
		})
	}
	sources := make([]manifest.Source, 0, len(d.Documents))
	for _, one := range d.Documents {
		sources = append(sources, manifest.Source{Name: one.Source, Text: one.Text})
	}
	docs, _, fields := manifest.Parse(sources, s.kindSettings())
	if err := fleet.Invalid("documents", fields); err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(doc manifest.Document) bool {
		return doc.Kind != fleet.KindVMProvider || d.Name != "" && doc.Meta.Name != d.Name
	})
	switch {
	case len(docs) == 0 && d.Name != "":
		return nil, fleet.Errorf(fleet.CodeNotFound, "the documents hold no VMProvider named %q", d.Name)
	case len(docs) == 0:
		return nil, fleet.Errorf(fleet.CodeNotFound, "the documents hold no VMProvider")
	case len(docs) > 1:
		var names []string
		for _, doc := range docs {
			names = append(names, doc.Meta.Name)
		}
		return nil, fleet.Invalid("request", []fleet.FieldError{{Path: "name", Message: fmt.Sprintf(
			"is required, since the documents hold %d VM providers: name one of %s", len(docs), strings.Join(names, ", "))}})
	}
	return s.draftObject(ctx, docs[0])
}

// draftObject is the object that a document would become.
func (s *Service) draftObject(ctx context.Context, doc manifest.Document) (*store.Object, error) {
	spec, given, err := doc.Canonical()
	if err != nil {
		return nil, err
	}
	o := &store.Object{Kind: doc.Kind, Name: doc.Meta.Name, Labels: doc.Meta.Labels}
	var sealed []byte
	err = s.Store.Read(ctx, func(tx *store.Tx) error {
		have, err := tx.Object(doc.Kind, doc.Meta.Name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil:
			return err
		}
		// Stored secrets go with a document of the same kind of cloud only.
		if old, err := store.Spec[fleet.VMProviderSpec](have); err != nil || old.Provider != spec["provider"] {
			return err
		}
		sealed = have.Secrets
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading VM provider %s: %w", doc.Meta.Name, err)
	}
	stored, err := s.Keeper.Open(ctx, sealed)
	if err != nil {
		return nil, fmt.Errorf("reading the secrets of VM provider %s: %w", doc.Meta.Name, err)
	}
	secrets := settings.UpdateSecrets(stored, given)
	if err := fleet.Invalid("documents", checkSecrets(doc, spec, secrets)); err != nil {
		return nil, err
	}
	if o.Secrets, err = s.Keeper.Seal(ctx, secrets); err != nil {
		return nil, err
	}
	o.Spec, err = json.Marshal(spec)
	return o, err
}

// openDraft makes a client for a draft. Who may configure may try what is not
// stored; who may operate may look at what is.
func (s *Service) openDraft(ctx context.Context, p auth.Principal, d Draft) (*provider.Client, *store.Object, error) {
	need := auth.Operate
	if len(d.Documents) > 0 {
		need = auth.Configure
	}
	if err := p.Need(need); err != nil {
		return nil, nil, err
	}
	o, err := s.draft(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	if s.Open == nil {
		return nil, nil, fleet.Errorf(fleet.CodeUnavailable, "this controller reaches no provider")
	}
	client, err := s.Open(ctx, o)
	if err != nil {
		return nil, nil, cloudError(o.Name, "opened", err)
	}
	return client, o, nil
}

// leave closes a client that was opened to look at something.
func (s *Service) leave(ctx context.Context, client *provider.Client) {
	if err := client.Close(ctx); err != nil {
		s.Log.WarnContext(ctx, "a connection to a provider could not be closed in order", "vm_provider", client.Owner().Provider, "error", err)
	}
}

// cloudError words an error of a cloud for people.
func cloudError(name, what string, err error) error {
	var known *provider.Error
	if !errors.As(err, &known) {
		return err
	}
	code := fleet.CodeUnavailable
	if known.Class == provider.Unsupported || known.Class == provider.Invalid {
		code = fleet.CodeInvalid
	}
	return &fleet.Error{Code: code, Message: fmt.Sprintf("VMProvider %s cannot be %s: %v", name, what, known), Cause: err}
}

// CheckProvider looks at the credentials and references of a VM provider
// config. It makes nothing.
func (s *Service) CheckProvider(ctx context.Context, p auth.Principal, d Draft) (provider.Report, error) {
	client, o, err := s.openDraft(ctx, p, d)
	if err != nil {
		return provider.Report{}, err
	}
	defer s.leave(ctx, client)
	report, err := client.Check(ctx)
	if err != nil {
		return provider.Report{}, cloudError(o.Name, "checked", err)
	}
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return provider.Report{}, err
	}
	report.Findings = append(report.Findings, s.checkPrice(spec)...)
	if report.Findings == nil {
		report.Findings = []provider.Finding{}
	}
	return report, nil
}

// RenderProvider shows the requests by which a machine would be made, with a
// sample machine and without secrets. It makes nothing.
func (s *Service) RenderProvider(ctx context.Context, p auth.Principal, d Draft) ([]provider.RenderedCall, error) {
	client, o, err := s.openDraft(ctx, p, d)
	if err != nil {
		return nil, err
	}
	defer s.leave(ctx, client)
	server := sampleServer(o.Name)
	from, err := s.sampleOrigin(o)
	if err != nil {
		return nil, err
	}
	packed, secrets, err := s.pack(from, server)
	if err != nil {
		return nil, err
	}
	req := provider.Request{
		Token: server.ID + "-1", Name: server.Name,
		Tags:      provider.Tags{Installation: s.Store.Installation(), Server: server.ID, AutoscaleConfig: server.AutoscaleConfig, Provider: o.Name},
		Bootstrap: provider.Bootstrap{ControllerURL: from.url, RegistrationToken: s.Deriver.Registration(server.ID), Pool: server.Pool, Secrets: secrets},
	}
	if offers := client.Offers(); len(offers) > 0 {
		req.Offer = offers[0]
	}
	if !from.channel.AfterBoot {
		req.Bootstrap.UserData = packed.Data
	}
	calls, err := client.Render(ctx, req)
	if err != nil {
		return nil, cloudError(o.Name, "shown", err)
	}
	return calls, nil
}

// Lookup is the live choices for one field of a provider's settings.
type Lookup struct {
	Setting string            `json:"setting"`
	Choices []provider.Choice `json:"choices"`
	Error   string            `json:"error,omitempty" doc:"Why they could not be listed."`
}

// Catalog lists live choices: for one setting, or for every setting that has
// some. One that fails hinders no other.
func (s *Service) Catalog(ctx context.Context, p auth.Principal, d Draft, setting string) ([]Lookup, error) {
	client, o, err := s.openDraft(ctx, p, d)
	if err != nil {
		return nil, err
	}
	defer s.leave(ctx, client)
	all := settings.Lookups(client.Kind().NewSettings())
	if setting != "" {
		if !slices.Contains(all, setting) {
			return nil, fleet.Invalid("query", []fleet.FieldError{{Path: "setting", Value: setting, Message: settings.Unknown("setting with choices", setting, all)}})
		}
		all = []string{setting}
	}
	spec, err := store.Spec[fleet.VMProviderSpec](o)
	if err != nil {
		return nil, err
	}
	out := make([]Lookup, 0, len(all))
	for _, name := range all {
		l := Lookup{Setting: name, Choices: []provider.Choice{}}
		choices, err := client.Choices(ctx, name)
		switch {
		case err != nil && setting != "":
			return nil, cloudError(o.Name, "asked for choices", err)
		case err != nil:
			l.Error = err.Error()
		default:
			l.Choices = append(l.Choices, choices...)
			s.priceChoices(spec, l.Choices)
		}
		out = append(out, l)
	}
	return out, nil
}

// ScriptPreview shows what a machine would run.
type ScriptPreview struct {
	Script   string            `json:"script" doc:"The script with sample values; secrets are masked."`
	Problems []startup.Problem `json:"problems" doc:"Warnings."`
	Delivery string            `json:"delivery" doc:"How it reaches the machine." example:"512 bytes as they are"`
	Limit    int               `json:"limit,omitempty" doc:"Bytes that the channel carries. 0: no limit."`
	Agent    bool              `json:"agent" doc:"The agent is installed besides, on machines of docker_agent pools."`
}

// RenderScript shows the startup script of a VM provider config with sample
// values.
func (s *Service) RenderScript(ctx context.Context, p auth.Principal, d Draft) (ScriptPreview, error) {
	need := auth.Read
	if len(d.Documents) > 0 {
		need = auth.Configure
	}
	if err := p.Need(need); err != nil {
		return ScriptPreview{}, err
	}
	obj, err := s.draft(ctx, d)
	if err != nil {
		return ScriptPreview{}, err
	}
	o, err := s.sampleOrigin(obj)
	if err != nil {
		return ScriptPreview{}, err
	}
	server := sampleServer(obj.Name)
	values, _ := s.values(o, server)
	for _, v := range startup.Variables() {
		if v.Secret {
			values[v.Name] = settings.Masked
		}
	}
	text, problems := startup.Render(o.provider.StartupScript, values)
	if len(problems) > 0 {
		return ScriptPreview{}, fleet.Errorf(fleet.CodeInvalid, "the startup script of VM provider %s: %s", obj.Name, problems[0])
	}
	out := ScriptPreview{Script: text, Problems: []startup.Problem{}, Limit: o.channel.Limit, Agent: o.wantsAgent()}
	for _, found := range startup.Check(o.provider.StartupScript, o.channel) {
		if found.Warning {
			out.Problems = append(out.Problems, found)
		}
	}
	packed, _, err := s.pack(o, server)
	if err != nil {
		return ScriptPreview{}, err
	}
	out.Delivery = fleet.Or(packed.How, "no script")
	if o.channel.AfterBoot && packed.How != "" {
		out.Delivery += ", through the guest when the machine runs"
	}
	return out, nil
}

// sampleOrigin is what the bootstrap of a sample machine would be made of.
func (s *Service) sampleOrigin(obj *store.Object) (origin, error) {
	o := origin{url: s.URL, runAgent: true, config: fleet.AutoscaleConfigSpec{ConnectionUsername: "user"}}
	var err error
	if o.provider, err = store.Spec[fleet.VMProviderSpec](obj); err != nil {
		return o, err
	}
	if err := s.findChannel(&o); err != nil {
		return o, err
	}
	if o.channel.System == startup.Windows {
		o.runAgent = false // their agents are in the image
	}
	return o, nil
}

// CheckDNS looks at the credentials and the zone of a stored DNS provider. It
// writes nothing.
func (s *Service) CheckDNS(ctx context.Context, p auth.Principal, name string) (provider.Report, error) {
	if err := p.Need(auth.Operate); err != nil {
		return provider.Report{}, err
	}
	var o *store.Object
	err := s.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if o, err = tx.Object(fleet.KindDNSProvider, name); err != nil {
			err = notFound(err, "DNS provider", name)
		}
		return err
	})
	if err != nil {
		return provider.Report{}, err
	}
	if s.OpenDNS == nil {
		return provider.Report{}, fleet.Errorf(fleet.CodeUnavailable, "this controller reaches no DNS service")
	}
	client, err := s.OpenDNS(ctx, o)
	if err != nil {
		return provider.Report{}, err
	}
	report, err := client.Check(ctx)
	var known *provider.Error
	if errors.As(err, &known) {
		return provider.Report{}, &fleet.Error{Code: fleet.CodeUnavailable, Message: fmt.Sprintf("DNSProvider %s cannot be checked: %v", name, known), Cause: err}
	}
	if report.Findings == nil {
		report.Findings = []provider.Finding{}
	}
	return report, err
}
