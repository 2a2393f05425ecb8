package exchange

import "ihyid/credentials"

// termsContext defines every type and property that our credentials use, inside each of them, so that any verifier can
// check them offline, without a registry (VC Data Model 2.0 section 4.2, JSON-LD 1.1 section 4.1).
var termsContext = credentials.Context(terms()...)

func terms() []credentials.Term {
	var out []credentials.Term
	for _, k := range []kind{
		kindIntroduction, kindIntroductionReply, kindRegistration, kindRegistrationReply, kindDecision, kindDecisionReply,
		kindOpening, kindOpeningReply, kindAcceptance, kindAcceptanceReply, kindClaims, kindClaimsReply, kindAnswers, kindAnswersReply,
		kindReceiptRequest, kindReceiptReply, kindCompletion, kindCompletionReply, typeOrganisation, typeReceipt,
	} {
		out = append(out, credentials.Term{Name: string(k), Kind: credentials.Class})
	}
	for _, t := range []string{
		"agreement", "answersRoot", "approved", "chunkEntries", "count", "country", "document", "ended", "entrySize", "epoch", "evaluations",
		"exchange", "initiator", "initiatorCount", "initiatorDocument", "initiatorKey", "initiatorRoot", "legalName", "matches",
		"organisation", "peer", "possibles", "previous", "profile", "protocol", "purpose", "reason", "registrationNumber",
		"request", "responder", "responderCount", "responderDocument", "responderKey", "responderRoot", "root", "started",
		"state", "tags", "transcript", "v",
	} {
		out = append(out, credentials.Term{Name: t, Kind: credentials.Text})
	}
	return append(out,
		credentials.Term{Name: "commitment", Kind: credentials.Object},
		credentials.Term{Name: "chunkRoots", Kind: credentials.List})
}
