package exchange

import "ihyid/credentials"

// contextOf holds, for every type of credential of ours, the context that defines its terms. It stands inside each of them, so that any
// verifier can check them offline, without a registry (VC Data Model 2.0 section 4.2, JSON-LD 1.1 section 4.1).
var contextOf = makeContexts()

func makeContexts() map[string]map[string]any {
	commitment := []string{"commitment", "chunkEntries", "chunkRoots", "count", "entrySize", "root"}
	step := []string{"exchange", "previous", "transcript"}
	out := map[string]map[string]any{}
	for typ, names := range map[string][]string{
		string(kindIntroduction):      {"previous"},
		string(kindIntroductionReply): {"previous"},
		string(kindRegistration):      {"peer", "organisation", "document"},
		string(kindRegistrationReply): {"previous", "state"},
		string(kindDecision):          {"peer", "request", "organisation", "document", "approved", "reason"},
		string(kindDecisionReply):     {"previous", "state"},
		string(kindOpening): append(commitment, "v", "exchange", "initiator", "responder", "initiatorDocument", "initiatorKey", "agreement",
			"profile", "purpose", "protocol", "epoch"),
		string(kindOpeningReply):      step,
		string(kindAcceptance):        step,
		string(kindAcceptanceReply):   append(append(commitment, step...), "initiatorDocument", "responderDocument", "responderKey", "epoch", "pk"),
		string(kindClaims):            step,
		string(kindClaimsReply):       append(commitment, step...),
		string(kindAnswers):           append(append(commitment, step...), "matches", "possibles"),
		string(kindAnswersReply):      step,
		string(kindOffer):             append(commitment, step...),
		string(kindOfferReply):        step,
		string(kindResult):            step,
		string(kindResultReply):       append(append(commitment, step...), "matches", "possibles"),
		string(kindReceiptRequest):    step,
		string(kindReceiptReply):      step,
		string(kindCompletion):        step,
		string(kindCompletionReply):   step,
		string(kindCancellation):      {"exchange", "transcript", "state"},
		string(kindCancellationReply): {"exchange", "previous", "state"},
		string(kindFile):              {"exchange", "number", "payload", "challenge"},
		string(kindProposal):          {"agreement", "proposer", "accepter"},
		string(kindProposalReply):     {"previous", "state"},
		string(kindConsent):           {"agreement", "approved", "reason"},
		string(kindConsentReply):      {"previous", "state"},
		typeAgreement: {"v", "salt", "proposer", "accepter", "purposes", "profiles", "protocols", "proposerSize", "accepterSize", "proposerElements",
			"accepterElements", "evaluationsPerDay", "epochDays", "possibles", "retentionDays", "begins", "ends"},
		typeOrganisation: {"legalName", "registrationNumber", "country", "keyAgreement"},
		typeUnilateral: {"v", "exchange", "initiator", "responder", "initiatorKey", "initiatorDocument", "responderDocument", "agreement", "purpose",
			"profile", "protocol", "epoch", "pk", "transcript", "initiatorRoot", "initiatorCount", "responderRoot", "responderCount", "evaluations",
			"claims", "state", "started", "ended"},
		typeReceipt: {"v", "exchange", "initiator", "responder", "initiatorKey", "responderKey", "initiatorDocument", "responderDocument",
			"agreement", "purpose", "profile", "protocol", "epoch", "pk", "transcript", "initiatorRoot", "initiatorCount", "responderRoot",
			"responderCount", "evaluations", "tags", "answersRoot", "matches", "possibles", "started", "ended"},
	} {
		out[typ] = credentials.Context(termsOf(typ, names)...)
	}
	return out
}

func termsOf(typ string, names []string) []credentials.Term {
	out := []credentials.Term{{Name: typ, Kind: credentials.Class}}
	for _, name := range names {
		k := credentials.Text
		switch name {
		case "commitment":
			k = credentials.Object
		case "chunkRoots", "purposes", "profiles", "protocols":
			k = credentials.List
		}
		out = append(out, credentials.Term{Name: name, Kind: k})
	}
	return out
}
